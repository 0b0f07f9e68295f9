-- Who reached a new high or low of 20 days or 52 weeks? Parameters: interval (1d or 1w), from (Date).
SELECT
  day,
  symbol,
  arrayFilter((name, holds) -> holds, ['high_20d', 'high_52w', 'low_20d', 'low_52w'],
    [new_high_20d, new_high_52w, new_low_20d, new_low_52w]) AS broken
FROM prices_movers
WHERE interval = {interval:String} AND day >= {from:Date} AND notEmpty(broken)
ORDER BY day, symbol;
