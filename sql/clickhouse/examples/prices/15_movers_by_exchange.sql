-- The best gainers of each exchange; turn the order round for losers, order by volume for the most active. Parameters: interval (1d or 1w), day (Date; of a week its Monday).
SELECT exchange, symbol, close, round(change_bp / 100, 2) AS change_pct, volume
FROM prices_movers
WHERE interval = {interval:String} AND day = {day:Date} AND change_bp IS NOT NULL
ORDER BY exchange, change_bp DESC, symbol
LIMIT 10 BY exchange;
