-- What was said of a subject before, newest first, without reading a prediction that is not wanted.
create index prediction_log_latest
  on ops.prediction_log (partner, use_case, platform, subject_id, as_of desc, at desc)
  include (insight_id, insight_version, outcome);
