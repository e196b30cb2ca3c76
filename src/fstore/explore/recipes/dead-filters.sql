SELECT layer, count(*) AS filters, count_if(NOT alive) AS dead
FROM (
    SELECT layer, "order", channel, bool_or(npos > 0) AS alive
    FROM activations JOIN layers USING (network, layer)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND "view" = 'image'
    GROUP BY ALL
)
GROUP BY layer, "order"
ORDER BY "order"
