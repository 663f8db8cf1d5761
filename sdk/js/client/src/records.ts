/** What the three kinds of record look like. Times are RFC 3339 with an offset (or a Date), money a string or number. */
type Time = string | Date;
type Money = string | number;
type Attributes = Record<string, string | number | boolean | null>;

interface Common {
  native_id: string;
  updated_at?: Time | null;
  deleted_at?: Time | null;
  attributes?: Attributes;
}

/** Something people attend. `attendance` is the actual number, once known. */
export interface Event extends Common {
  name?: string | null;
  starts_at: Time;
  ends_at?: Time | null;
  timezone: string;
  status: "scheduled" | "postponed" | "cancelled" | "completed";
  venue?: {
    name?: string | null;
    city?: string | null;
    region?: string | null;
    country?: string | null;
    capacity?: number | null;
  };
  category?: string | null;
  series_id?: string | null;
  on_sale_at?: Time | null;
  capacity?: number | null;
  attendance?: number | null;
}

/** A person. E-mail, phone and name are kept encrypted, apart from everything that is analysed. */
export interface Contact extends Common {
  email?: string | null;
  phone?: string | null;
  name?: string | null;
  created_at: Time;
  stage?: string | null;
  converted_at?: Time | null;
  lost_at?: Time | null;
  source?: string | null;
  consent?: { processing?: "granted" | "denied" | null; pooling?: "granted" | "denied" | null };
  country?: string | null;
}

/** One line of a sale. Prices are per unit, in `currency`. */
export interface Sale extends Common {
  event_id?: string | null;
  contact_id?: string | null;
  product: string;
  tier?: string | null;
  sold_at: Time;
  quantity: number;
  unit_price: Money;
  list_price?: Money | null;
  unit_cost?: Money | null;
  currency: string;
  status: "paid" | "pending" | "refunded" | "cancelled";
  refunded_quantity?: number;
  refunded_amount?: Money;
  channel?: string | null;
}
