SELECT y, list_transform(map[y * l.width + 1 : (y + 1) * l.width], lambda v: round(v, 2)) AS response
FROM activations
JOIN layers AS l USING (network, layer)
JOIN samples USING (dataset, "view", sample_id),
    range(l.height) AS rows(y)
WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND channel = 43
    AND image_id = '3/0045.png'
ORDER BY y
