SELECT image_id, round(act_max, 2) AS response
FROM activations JOIN samples USING (dataset, "view", sample_id)
WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND channel = 43
ORDER BY act_max DESC, image_id
LIMIT 5
