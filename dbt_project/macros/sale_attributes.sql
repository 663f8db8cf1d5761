{#-
  The partner's own fields of several sale lines as one map of means, weighted by quantity: numbers as they are, yes and
  no as 1 and 0, text that is neither left out. Null weights and lines without fields do not count.
-#}
{% macro mean_attributes(maps, weights) -%}
    {{ return(adapter.dispatch('mean_attributes')(maps, weights)) }}
{%- endmacro %}
{% macro postgres__mean_attributes(maps, weights) -%}
    coalesce((
        select jsonb_object_agg(mean_of_field.field, mean_of_field.mean)
        from (
            select
                pair.key as field,
                round(sum(number.value * map.weight) / sum(map.weight), 6) as mean
            from unnest({{ maps }}, {{ weights }}) as map (pairs, weight)
            cross join lateral jsonb_each_text(map.pairs) as pair (key, value)
            cross join lateral (
                select
                    case
                        when lower(pair.value) in ('true', 'yes') then 1
                        when lower(pair.value) in ('false', 'no') then 0
                        when pair.value ~ '^[-+]?[0-9]{1,15}([.][0-9]{1,15})?$' then cast(pair.value as numeric)
                    end as value
            ) as number
            where number.value is not null
            group by pair.key
        ) as mean_of_field
    ), {{ no_attributes() }})
{%- endmacro %}
