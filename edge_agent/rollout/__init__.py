"""The life of a model on this box: inbox, shadow run, promotion, probation."""
