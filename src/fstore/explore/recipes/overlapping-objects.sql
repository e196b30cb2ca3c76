SELECT a.image_id, la.class, lb.class AS other, round(iou(a.box, b.box), 2) AS iou
FROM samples AS a
JOIN samples AS b USING (dataset, "view", image_id)
JOIN labels AS la ON la.dataset = dataset AND la."view" = "view" AND la.sample_id = a.sample_id
JOIN labels AS lb ON lb.dataset = dataset AND lb."view" = "view" AND lb.sample_id = b.sample_id
WHERE dataset = 'scenes' AND "view" = 'gt' AND a.sample_id < b.sample_id
ORDER BY iou(a.box, b.box) DESC
LIMIT 5
