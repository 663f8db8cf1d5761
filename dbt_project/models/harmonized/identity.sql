{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'platform', 'native_id'],
    pre_hook=["{{ lock_identities() }}", "{{ take_touched(touched_identities(touched_of('contact'), this)) }}"],
    post_hook="{{ identity_function() }}",
    indexes=[
        {'columns': ['partner', 'platform', 'native_id']},
        {'columns': ['partner', 'person_id']},
        {'columns': ['input_position']},
    ],
    meta={'streamed': true},
) }}

{{ identity_rows(is_incremental()) }}
