with attendance as (

    select * from {{ ref('attendance') }}

)

select attendance.*
from attendance
where
    attendance.is_past
    and attendance.attendance is not null
    and attendance.status in ('scheduled', 'completed')
