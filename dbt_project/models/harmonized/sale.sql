{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'platform', 'sale_id'],
    meta={'touched_as': {'sale_id': 'native_id'}},
    pre_hook="{{ take_touched(touched_sales()) }}",
    indexes=[{'columns': ['partner', 'platform', 'sale_id']}],
) }}

with sales as (

    select * from {{ ref('sale_view') }}

)

select sales.*
from sales
{% if is_incremental() %}
    inner join touched_keys
        on
            sales.partner = touched_keys.partner
            and sales.platform = touched_keys.platform
            and sales.sale_id = touched_keys.native_id
{% endif %}
