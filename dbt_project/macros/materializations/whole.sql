{#-
  A table in which every row depends on the moment, so that every row is replaced: deleted and inserted in one
  transaction, without a temporary copy. The relation, its policies, grants and the views above it stay.
-#}
{% materialization whole, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if is_kept() %}
        {%- set columns = get_quoted_csv(adapter.get_columns_in_relation(target_relation) | map(attribute='name')) -%}
        {% call statement('main') -%}
            delete from {{ target_relation }};
            insert into {{ target_relation }} ({{ columns }})
            select {{ columns }} from ({{ sql }}) as rows_now
        {%- endcall %}
    {% else %}
        {{ drop_relation_if_exists(load_cached_relation(this)) }}
        {% call statement('main') -%}
            {{ create_table_as(False, target_relation, sql) }}
        {%- endcall %}
        {% do create_indexes(target_relation) %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#- Whether the table was there before this run and stays: only then does it still have its policies and grants. -#}
{% macro is_kept() %}
    {%- set existing = load_cached_relation(this) -%}
    {{ return(existing is not none and existing.is_table and not should_full_refresh()) }}
{% endmacro %}
