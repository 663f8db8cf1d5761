with pricing as (

    select * from {{ ref('pricing') }}

)

select * from pricing
