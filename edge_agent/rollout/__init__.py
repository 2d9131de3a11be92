"""The versions of a model on this box, in the order of their files.

`startup` loads the champions, and `missing_models` those that could not be used then. A newer version comes through
`index_client` or by hand into the `inbox` (`inbox_watch` looks at it). `offline_check` holds it against what is kept,
`shadow_runs` lets it score beside the champion (`shadow_run`) until the gates decide (`shadow_gates`); how far it came
is in `challenger_file`. `hot_swap` puts it in the champion's place, and in its `probation` it goes back by itself.
`lifecycle` drives all of this over one `rollout` a model, `model_reports` reports it, `alarm_record` keeps its alarms.
"""
