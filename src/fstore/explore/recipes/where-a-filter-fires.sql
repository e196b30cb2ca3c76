FROM (
    SELECT argmax // width AS y, argmax % width AS x
    FROM activations JOIN layers USING (network, layer)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND channel = 39 AND npos > 0
)
PIVOT (count(*) FOR x IN (0, 1, 2, 3))
ORDER BY y
