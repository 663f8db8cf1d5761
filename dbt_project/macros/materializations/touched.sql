{#- Replace the touched keys: rows of keys that are gone vanish, rows of keys that changed come back. One transaction. -#}
{% macro get_incremental_touched_sql(arg_dict) %}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set keys = config.require('unique_key') -%}
    delete from {{ arg_dict['target_relation'] }} as target
    using touched_keys
    where
        {% for key in keys -%}
        target.{{ key }} = touched_keys.{{ config.get('meta', {}).get('touched_as', {}).get(key, key) }}
        {% if not loop.last %}and {% endif %}
        {%- endfor %};
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{% endmacro %}
