{#-
  All versions of sale lines, to be asked for one line: current and past ones are in an index of their own each, and only a
  branch that says which it means reaches its index.
-#}
{% macro each_sale_version() -%}
    select * from {{ ref('stg_sale_version') }} as now_valid
    where now_valid.valid_to is null
    union all
    select * from {{ ref('stg_sale_version') }} as once_valid
    where once_valid.valid_to is not null
{%- endmacro %}
