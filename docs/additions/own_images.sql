SELECT class, count(*) AS images
FROM labels
WHERE dataset = 'digits' AND "view" = 'image' AND label = 1
GROUP BY class ORDER BY class LIMIT 3
