-- How much of what is started is finished, by week and type of content? NULL where nothing was played.
SELECT week, content_type, plays, finishes, round(finish_rate, 3) AS finish_rate
FROM finish_rate
ORDER BY week, content_type;
