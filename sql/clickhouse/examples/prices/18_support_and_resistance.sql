-- Between which pivot levels did the stocks close? The floor pivots of the day before; NULL: beyond all of them. Parameters: interval (1d or 1w), day (Date).
WITH
  arrayFilter(level -> level <= close, [support_2, support_1, pivot, resistance_1, resistance_2]) AS below,
  arrayFilter(level -> level > close, [support_2, support_1, pivot, resistance_1, resistance_2]) AS above
SELECT
  symbol,
  close,
  pivot,
  if(empty(below), NULL, arrayMax(below)) AS support,
  if(empty(above), NULL, arrayMin(above)) AS resistance
FROM prices_movers
WHERE interval = {interval:String} AND day = {day:Date} AND pivot IS NOT NULL
ORDER BY symbol;
