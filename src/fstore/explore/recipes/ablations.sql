SELECT
    channel,
    list_transform(map, lambda v: round(v, 1)) AS map,
    binarize(map)::INTEGER[] AS binarized,
    round(sp_max(map), 1) AS sp_max,
    list_transform(
        sp_shuffle(map, sp_permutation(0, "view", sample_id, len(map)::INTEGER)),
        lambda v: round(v, 1)
    ) AS shuffled
FROM activations JOIN samples USING (dataset, "view", sample_id)
WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5'
    AND image_id = '3/0045.png' AND channel IN (43, 44)
ORDER BY channel
