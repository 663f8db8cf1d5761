{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'platform', 'event_id'],
    meta={'touched_as': {'event_id': 'native_id'}},
    pre_hook="{{ take_touched(touched_of('event')) }}",
    indexes=[{'columns': ['partner', 'platform', 'event_id']}],
) }}

with events as (

    select * from {{ ref('event_view') }}

)

select events.*
from events
{% if is_incremental() %}
    inner join touched_keys
        on
            events.partner = touched_keys.partner
            and events.platform = touched_keys.platform
            and events.event_id = touched_keys.native_id
{% endif %}
