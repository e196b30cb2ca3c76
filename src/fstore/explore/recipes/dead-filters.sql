WITH filters AS (
    SELECT network, layer, channel, bool_or(act_max > 0) AS alive
    FROM activations
    WHERE ckpt = 'random0' AND dataset = 'digits' AND "view" = 'image'
    GROUP BY ALL
)
SELECT layer, count(*) AS filters, count_if(NOT alive) AS dead
FROM filters JOIN layers USING (network, layer)
GROUP BY layer, "order"
ORDER BY "order"
