{#- dbt's own tests show only the column at fault; ours show the partner too, so that a failure can exclude that partner alone. -#}
{% macro default__test_not_null(model, column_name) %}
select partner, {{ column_name }}
from {{ model }}
where {{ column_name }} is null
{% endmacro %}

{% macro default__test_accepted_values(model, column_name, values, quote=True) %}
select
    partner,
    {{ column_name }} as value_field,
    count(*) as n_records
from {{ model }}
where {{ column_name }} not in (
    {%- for value in values %}{% if quote %}'{{ value }}'{% else %}{{ value }}{% endif %}{% if not loop.last %}, {% endif %}{% endfor -%}
)
group by partner, {{ column_name }}
{% endmacro %}

{% macro default__test_relationships(model, column_name, to, field) %}
select child.partner, child.{{ column_name }} as from_field
from {{ model }} as child
left join {{ to }} as parent on child.{{ column_name }} = parent.{{ field }}
where child.{{ column_name }} is not null and parent.{{ field }} is null
{% endmacro %}
