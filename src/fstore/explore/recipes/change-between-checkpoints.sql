SELECT
    channel,
    round(avg(a.act_max), 2) AS mean_before,
    round(avg(b.act_max), 2) AS mean_after,
    round(cosine(a.act_max, b.act_max), 2) AS cosine
FROM activations AS a
JOIN activations AS b USING (network, dataset, "view", layer, sample_id, channel)
WHERE a.ckpt = 'random0' AND b.ckpt = 'random1' AND dataset = 'digits' AND layer = 'conv5'
GROUP BY channel
ORDER BY abs(avg(b.act_max) - avg(a.act_max)) DESC
LIMIT 5
