SELECT layer, round(min(share), 2) AS least, round(median(share), 2) AS median,
    round(max(share), 2) AS most
FROM (
    SELECT layer, "order", channel, avg((npos > 0)::INTEGER) AS share
    FROM activations JOIN layers USING (network, layer)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND "view" = 'image'
    GROUP BY ALL
)
GROUP BY layer, "order"
ORDER BY "order"
