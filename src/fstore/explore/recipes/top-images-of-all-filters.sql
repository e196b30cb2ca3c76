SELECT channel, list(image_id ORDER BY "rank") AS images, round(max(act_max), 2) AS strongest
FROM strongest_samples JOIN samples USING (dataset, "view", sample_id)
WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND "rank" <= 5
GROUP BY channel
ORDER BY strongest DESC, channel
LIMIT 10
