-- A stock that has bars cannot be deleted, as a content that has events cannot: nobody could say any more what they are called, nor where a day of theirs
-- begins. No foreign key does it, since bars may come before their stock.
CREATE FUNCTION stocks_refuse_deletion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM stock_prices WHERE stock_id = OLD.id) THEN
    RAISE EXCEPTION 'stock % (%) has bars', OLD.id, OLD.symbol
      USING ERRCODE = 'foreign_key_violation', HINT = 'Delete its rows of stock_prices first, or set active = false.';
  END IF;
  RETURN OLD;
END
$$;
REVOKE EXECUTE ON FUNCTION stocks_refuse_deletion() FROM PUBLIC;
CREATE TRIGGER stocks_with_bars BEFORE DELETE ON stocks FOR EACH ROW EXECUTE FUNCTION stocks_refuse_deletion();
ALTER TABLE stocks ENABLE ALWAYS TRIGGER stocks_with_bars;
