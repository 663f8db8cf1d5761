select
    -- keys
    history.partner,
    history.platform,
    history.sale_id,
    history.event_id,
    -- the line counts; who bought it is known only of those who allow it
    case when consents.is_processing_allowed then history.contact_id end as contact_id,

    -- what
    history.product,
    history.tier,
    history.channel,
    history.attributes,
    history.status,
    history.is_counted,

    -- when
    history.sold_at,
    history.sold_on,

    -- how many
    history.quantity,
    history.refunded_quantity,
    history.net_quantity,

    -- money as it was paid
    history.currency,
    history.unit_price,
    history.list_price,
    history.unit_cost,
    history.refunded_amount,
    history.net_amount,

    -- money as it is reported
    history.reporting_currency,
    history.fx_rate,
    history.fx_rate_date,
    history.unit_price_reported,
    history.list_price_reported,
    history.unit_cost_reported,
    history.net_amount_reported,
    history.conversion_note,
    history.arrived_at
from {{ ref('sale_history') }} as history
left join {{ ref('consent_view') }} as consents
    on
        history.partner = consents.partner
        and history.platform = consents.platform
        and history.contact_id = consents.contact_id
where history.valid_to is null and history.deleted_at is null
