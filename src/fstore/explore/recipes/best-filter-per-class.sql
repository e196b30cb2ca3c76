SELECT class, arg_max(channel, ap11) AS best_filter, round(max(ap11), 2) AS voc_ap,
    round(arg_max(ap_all, ap11), 2) AS ap
FROM (
    SELECT class, channel, voc_ap(act_max, label) AS ap11, ap(act_max, label) AS ap_all
    FROM activations JOIN all_labels USING (dataset, "view", sample_id)
    WHERE ckpt = 'random0' AND dataset = 'digits' AND layer = 'conv5'
    GROUP BY ALL
)
GROUP BY class
ORDER BY class
