{#-
  A view that live readers depend on: replaced in place, so that neither it nor the views above it are ever missing
  (dbt's own view materialization drops both for a moment). With --full-refresh, which changed SQL implies, it
  is dropped first, because a view's columns can only be added to in place.
-#}
{% materialization live_view, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if existing is not none and (should_full_refresh() or not existing.is_view) %}
        {{ drop_relation_if_exists(existing) }}
    {% endif %}
    {% call statement('main') -%}
        create or replace view {{ target_relation }} with (security_invoker = true) as (
            {{ sql }}
        )
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
