-- What became of it? The close some days after a signal against that of its day. Parameters: signal (String, for instance golden_cross), days (UInt8).
SELECT symbol, start, close, later, round((toFloat64(later) / toFloat64(close) - 1) * 100, 2) AS change_pct
FROM (
  SELECT
    symbol, start, close, signals,
    leadInFrame(toNullable(close), {days:UInt8})
      OVER (PARTITION BY stock_id ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS later
  FROM prices_indicators
  WHERE interval = '1d'
)
WHERE has(signals, {signal:String}) AND later IS NOT NULL
ORDER BY start, symbol;
