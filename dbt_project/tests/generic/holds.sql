{#- Arithmetic between columns: true (or unknown) in every row; `keys` are shown with a row that fails. -#}
{% test holds(model, expression, keys) %}
select partner, {{ keys | join(', ') }}
from {{ model }}
where not ({{ expression }})
{% endtest %}
