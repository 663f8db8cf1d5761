select versions.*
from {{ ref('stg_sale_version') }} as versions
where versions.valid_to is null and versions.deleted_at is null
