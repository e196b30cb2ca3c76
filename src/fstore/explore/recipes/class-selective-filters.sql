WITH means AS (
    SELECT channel, class, avg(act_max) AS mean, sum(act_max) AS total, count(*) AS n
    FROM activations JOIN labels USING (dataset, "view", sample_id)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'fc7' AND label = 1
    GROUP BY ALL
),
best AS (
    SELECT channel, arg_max(class, mean) AS class, max(mean) AS mean,
        (sum(total) - arg_max(total, mean)) / (sum(n) - arg_max(n, mean)) AS rest
    FROM means
    GROUP BY channel
)
SELECT channel, class, round((mean - rest) / (mean + rest), 2) AS selectivity,
    round(mean, 2) AS mean, round(rest, 2) AS mean_of_rest
FROM best
WHERE mean > 0.1
ORDER BY (mean - rest) / (mean + rest) DESC
LIMIT 5
