// The shop's 23 orders, the same for every user, and their invoices. Nothing here depends on the clock.

export const PAGE_SIZE = 5;

const GOODS = ["Difference engine", "Punch cards", "Jacquard loom", "Analytical mill", "Brass gear", "Logbook", "Ledger"];

export const ORDERS = Array.from({ length: 23 }, (_, index) => {
  const quantity = (index % 4) + 1;
  const unitCents = 1250 + index * 175;
  return {
    id: String(1001 + index),
    date: new Date(Date.UTC(2026, 0, 5 + index * 3)).toISOString().slice(0, 10),
    item: GOODS[index % GOODS.length],
    quantity,
    total: ((quantity * unitCents) / 100).toFixed(2),
  };
});

export function orderById(id) {
  return ORDERS.find((order) => order.id === id);
}

export function invoiceCsv(order) {
  return `order,date,item,quantity,total\r\n${order.id},${order.date},${order.item},${order.quantity},${order.total}\r\n`;
}

/** A one-page PDF with one line of text, its cross-reference table computed, so that strict readers open it. */
export function invoicePdf(order) {
  const text = `BT /F1 18 Tf 60 760 Td (Invoice ${order.id}: ${order.quantity} x ${order.item}, ${order.total} EUR) Tj ET`;
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${text.length} >>\nstream\n${text}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ];
  let body = "%PDF-1.4\n";
  const offsets = objects.map((object, index) => {
    const offset = body.length;
    body += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const table = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("");
  const size = objects.length + 1;
  const trailer = `trailer\n<< /Size ${size} /Root 1 0 R >>\nstartxref\n${body.length}\n%%EOF\n`;
  return Buffer.from(`${body}xref\n0 ${size}\n0000000000 65535 f \n${table}${trailer}`, "latin1");
}
