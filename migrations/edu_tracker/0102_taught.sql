-- Who has completed a lesson or a course whose skills become known or change. The index over coalesce(lesson_id, course_id)
-- was never read: behind row-level security PostgreSQL uses an index only for what cannot leak a row of another tenant, and
-- holds coalesce for something that might.
create index progress_logs_lesson_id_idx on progress_logs (lesson_id) where metric_key = 'lesson_minutes';
create index progress_logs_course_id_idx on progress_logs (course_id) where metric_key = 'course_completed';
drop index progress_logs_taught_idx;
