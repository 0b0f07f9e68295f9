-- Where is at least twice as much traded as in the mean of the 20 days (or weeks) before, sector by sector? Parameters: interval (1d or 1w), day (Date).
SELECT ifNull(sector, '?') AS sector, symbol, volume, round(volume_ratio, 2) AS times_usual
FROM prices_movers
WHERE interval = {interval:String} AND day = {day:Date} AND unusual_volume
ORDER BY times_usual DESC, symbol;
