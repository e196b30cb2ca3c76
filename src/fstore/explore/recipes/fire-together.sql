WITH fires AS (
    SELECT channel, sample_id, act_max
    FROM activations
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5'
)
SELECT a.channel, b.channel AS other, round(corr(a.act_max, b.act_max), 2) AS correlation
FROM fires AS a JOIN fires AS b ON a.sample_id = b.sample_id AND a.channel < b.channel
GROUP BY ALL
HAVING stddev_pop(a.act_max) > 0 AND stddev_pop(b.act_max) > 0
ORDER BY corr(a.act_max, b.act_max) DESC
LIMIT 5
