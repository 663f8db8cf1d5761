{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'platform', 'contact_id'],
    meta={'touched_as': {'contact_id': 'native_id'}},
    pre_hook="{{ take_touched(touched_of('contact')) }}",
    indexes=[{'columns': ['partner', 'platform', 'contact_id']}],
) }}

with consents as (

    select * from {{ ref('consent_view') }}

)

select consents.*
from consents
{% if is_incremental() %}
    inner join touched_keys
        on
            consents.partner = touched_keys.partner
            and consents.platform = touched_keys.platform
            and consents.contact_id = touched_keys.native_id
{% endif %}
