SELECT ckpt, count(*) AS layers, max(samples) AS samples, sum(rows) AS rows,
    sum(raw_bytes) AS raw_bytes, round(sum(bytes) / sum(raw_bytes), 1) AS stored_share
FROM partitions
WHERE dataset = 'digits'
GROUP BY ckpt
ORDER BY ckpt
