-- Of which active stocks has no bar come for longest? NULL: none ever. Parameter: now (DateTime).
SELECT
  s.symbol AS symbol,
  s.exchange AS exchange,
  maxOrNullIf(b.start, b.stock_id != 0) AS newest_bar,
  dateDiff('minute', newest_bar, {now:DateTime}) AS minutes_ago
FROM prices_stocks AS s
LEFT JOIN prices_bars AS b ON b.stock_id = s.stock_id
WHERE s.active
GROUP BY symbol, exchange
ORDER BY newest_bar ASC NULLS FIRST, symbol
LIMIT 20;
