SELECT class, round(avg(act_max), 2) AS mean, round(stddev_samp(act_max), 2) AS std, count(*) AS n
FROM activations JOIN labels USING (dataset, "view", sample_id)
WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND channel = 43 AND label = 1
GROUP BY class
ORDER BY class
