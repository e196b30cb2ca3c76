WITH fc7 AS (
    SELECT image_id, channel, act_max
    FROM activations JOIN samples USING (dataset, "view", sample_id)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'fc7'
)
SELECT other.image_id, round(cosine(one.act_max, other.act_max), 2) AS cosine
FROM fc7 AS one JOIN fc7 AS other USING (channel)
WHERE one.image_id = '3/0045.png' AND other.image_id != one.image_id
GROUP BY other.image_id
ORDER BY cosine(one.act_max, other.act_max) DESC
LIMIT 5
