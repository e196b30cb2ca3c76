SELECT layer, round(avg(share), 2) AS mean, round(stddev_samp(share), 2) AS std, count(*) AS n
FROM (
    SELECT layer, "order", nnz / (channels * height * width) AS share
    FROM sample_totals JOIN layers USING (network, layer)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND "view" = 'image'
)
GROUP BY layer, "order"
ORDER BY "order"
