{#- What these columns name exists in another relation, within the same partner. -#}
{% test refers_to(model, columns, to, to_columns) %}
select distinct model.partner, {% for column in columns %}model.{{ column }}{% if not loop.last %}, {% endif %}{% endfor %}
from {{ model }} as model
left join {{ to }} as parent
    on
        model.partner = parent.partner
        {% for column in columns %}
        and model.{{ column }} = parent.{{ to_columns[loop.index0] }}
        {% endfor %}
where model.{{ columns[-1] }} is not null and parent.partner is null
{% endtest %}
