-- What was there to be seen on a day, and where? Parameter: day (Date), at the exchange.
SELECT
  arrayJoin(signals) AS signal,
  count() AS stocks,
  arraySort(groupArray(10)(symbol)) AS symbols
FROM prices_indicators
WHERE interval = '1d' AND toDate(start + toIntervalHour(12)) = {day:Date}
GROUP BY signal
ORDER BY stocks DESC, signal;
