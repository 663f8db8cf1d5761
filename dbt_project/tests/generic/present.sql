{#- Each of these columns has a value in every row. -#}
{% test present(model, columns) %}
select partner, {{ columns | join(', ') }}
from {{ model }}
where {% for column in columns %}{{ column }} is null{% if not loop.last %} or {% endif %}{% endfor %}
{% endtest %}
