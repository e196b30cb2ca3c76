WITH filters AS (
    SELECT network, layer, channel, avg((act_max > 0)::INTEGER) AS share
    FROM activations
    WHERE ckpt = 'random0' AND dataset = 'digits' AND "view" = 'image'
    GROUP BY ALL
)
SELECT layer, round(min(share), 2) AS least, round(median(share), 2) AS median,
    round(max(share), 2) AS most
FROM filters JOIN layers USING (network, layer)
GROUP BY layer, "order"
ORDER BY "order"
