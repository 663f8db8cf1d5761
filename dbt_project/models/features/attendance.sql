{{ config(
    materialized='whole',
    indexes=[{'columns': ['partner', 'platform', 'event_id']}],
) }}

with rows_now as (

    select * from {{ ref('attendance_view') }}

)

select * from rows_now
