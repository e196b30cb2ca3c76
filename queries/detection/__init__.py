"""Detection on stored features: mining, scoring, suppression, evaluation (R-CNN, PASCAL-DET)."""
