; A boot sector that tells what its PS/2 mouse says: "READY" on COM1, then "P" and two hexadecimal digits for every
; byte. The mouse is told to send four bytes for a report, with a wheel and five buttons (IntelliMouse Explorer):
; 1) buttons left 1, right 2, middle 4, and 8 always; motion's signs and overflows 2) to the right 3) up
; 4) the wheel in the low four bits, signed, down is positive; the further buttons 10 and 20.
;
;   nasm -f bin -o mouse.img mouse.asm
bits 16
org 0x7c00
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    cli
    mov al, 0xa8                    ; the mouse's port on
    call command
    mov si, explorer
.tell:
    lodsb
    test al, al
    jz .told
    mov ah, al
    mov al, 0xd4                    ; the next byte is for the mouse
    call command
    mov al, ah
    out 0x60, al
    call read                       ; 0xfa, it listens
    jmp .tell
.told:
    call read                       ; its new id
    mov si, ready
.say:
    lodsb
    test al, al
    jz main
    call write
    jmp .say
main:
    call read
    test ah, 0x20
    jz main                         ; the keyboard's
    mov bl, al
    mov al, 'P'
    call write
    mov al, bl
    shr al, 4
    call digit
    mov al, bl
    and al, 15
    call digit
    mov al, 10
    call write
    jmp main
digit:
    add al, '0'
    cmp al, '9'
    jbe write
    add al, 7
write:
    mov ah, al
    mov dx, 0x3fd
.full:
    in al, dx
    test al, 0x20
    jz .full
    mov al, ah
    mov dx, 0x3f8
    out dx, al
    ret
read:                               ; al: a byte, ah: the controller's status
    in al, 0x64
    test al, 1
    jz read
    mov ah, al
    in al, 0x60
    ret
command:
    mov bl, al
.full:
    in al, 0x64
    test al, 2
    jnz .full
    mov al, bl
    out 0x64, al
.taken:
    in al, 0x64
    test al, 2
    jnz .taken
    ret
explorer db 0xf3, 200, 0xf3, 200, 0xf3, 80, 0xf4, 0xf2, 0
ready db "READY", 10, 0
times 510 - ($ - $$) db 0
    dw 0xaa55
