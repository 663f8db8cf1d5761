{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'person_id'],
    pre_hook="{{ take_touched(touched_persons()) }}",
    indexes=[
        {'columns': ['partner', 'person_id']},
        {'columns': ['partner', 'platform', 'contact_id']},
    ],
) }}

with contacts as (

    select * from {{ ref('contact_view') }}

)

select contacts.*
from contacts
{% if is_incremental() %}
    inner join touched_keys
        on
            contacts.partner = touched_keys.partner
            and contacts.person_id = touched_keys.person_id
{% endif %}
