SELECT class, round(avg(centre.y), 1) AS y, round(avg(centre.x), 1) AS x, count(centre) AS n
FROM (
    SELECT class, centre_of_mass(map, width) AS centre
    FROM activations
    JOIN layers USING (network, layer)
    JOIN labels USING (dataset, "view", sample_id)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5' AND channel = 39
)
GROUP BY class
ORDER BY class
